# `make demo` compares both papers' losses, with the settings of their configs, with cross-entropy,
# on toy streets that it draws itself.
title = 'Demo on toy streets'
setting = 'deeplabv3-r18-d8_1xb8-800_toy-streets-128x256'
seeds = [0]
augmented = False
methods = {
    'ce': dict(name='CE', config='cross_entropy/ce'),
    'lmp': dict(name='LMP', config='loss_max_pooling/lmp', ours=True),
    'recall': dict(name='recall loss', config='recall_loss/recall', ours=True),
}
