# Cityscapes with the network of the paper on loss max-pooling, on 4 GPUs.
_base_ = './methods.py'
title = 'Cityscapes'
setting = 'deeplabv3-r101-d8_4xb2-80k_cityscapes-512x1024'
seeds = [0, 1, 2]
hold_out = dict(share=0.2, group='[^/]+')  # the last fifth of every town
