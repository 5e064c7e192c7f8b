_base_ = '../cross_entropy/ce_deeplabv3-r18-d16_1xb4-2k_camvid-240x320.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='LogitAdjustedLoss', tau=1.0)))
