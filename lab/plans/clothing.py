# Clothing Co-Parsing with a pre-trained network.
_base_ = './methods_pretrained.py'
title = 'Clothing Co-Parsing'
setting = 'deeplabv3-mobilenet-v2-d16_1xb4-1k_clothing-384x256'
hold_out = dict(listed='splits/held_out.txt')
