# Cityscapes as in the paper on recall loss, on 1 GPU: configs/recall_loss/README.md.
_base_ = './recall_paper_synthia.py'
title = 'Cityscapes, set-up of the paper of recall loss'
setting = 'deeplabv3-r18-d16_1xb6-adam-90k_cityscapes-769x769'
