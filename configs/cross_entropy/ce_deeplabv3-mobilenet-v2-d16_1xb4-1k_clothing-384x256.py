_base_ = [
    '../_base_/models/deeplabv3_mobilenet-v2-d16.py',
    '../_base_/datasets/clothing.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_1k.py',
]
model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=42))
train_dataloader = dict(batch_size=4)
# On a CPU, a quarter of a step goes into logits of 42 classes at label size; this spares them.
custom_hooks = [*_base_.custom_hooks, dict(type='FusedUpsamplingHook')]
