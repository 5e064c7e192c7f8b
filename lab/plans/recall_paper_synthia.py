# SYNTHIA-SEQS-05-SUMMER as in the paper on recall loss, on 1 GPU: configs/recall_loss/README.md.
title = 'SYNTHIA-SEQS, set-up of the paper'
setting = 'deeplabv3-r18-d16_1xb6-adam-100k_synthia-seqs-384x768'
seeds = [0, 1, 2]
__valid = {'head.loss_decode.normalizer': 'valid'}
__weight = {'head.loss_decode.normalizer': 'weight'}
methods = {
    'ce': dict(name='cross-entropy', config='cross_entropy/ce'),
    'recall-all': dict(name="recall loss, 'all'", config='recall_loss/recall', ours=True),
    'recall-valid': dict(
        name="recall loss, 'valid'", config='recall_loss/recall', options=__valid, ours=True
    ),
    'recall': dict(name='recall loss', config='recall_loss/recall', options=__weight, ours=True),
}
targets = [
    dict(method='recall-all', score='mAcc', least=9.0, relative=True),
    dict(method='recall-all', score='mIoU', least=0.0, within_std=True),
]
