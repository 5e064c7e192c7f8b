_base_ = '../cross_entropy/ce_deeplabv3-r18-d16_1xb6-adam-90k_cityscapes-769x769.py'
# floor=1 and normalizer='all' (every pixel, ignored ones too) as in the released code
model = dict(
    decode_head=dict(loss_decode=dict(_delete_=True, type='RecallLoss', floor=1, normalizer='all'))
)
