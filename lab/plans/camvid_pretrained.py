# CamVid with a pre-trained network; every video is held out in turn.
_base_ = './methods_pretrained.py'
title = 'CamVid, pre-trained'
setting = 'deeplabv3-mobilenet-v2-d16_1xb4-1k_camvid-240x320'
hold_out = [dict(match=video) for video in ('0001TP', '0006R0', '0016E5')]
