# SYNTHIA-RAND-CITYSCAPES, on 4 GPUs.
_base_ = './methods.py'
title = 'SYNTHIA-RAND-CITYSCAPES'
setting = 'deeplabv3-r18-d8_4xb4-80k_synthia-rand-512x512'
seeds = [0, 1, 2]
hold_out = dict(share=0.2, group='')
