default_scope = 'mmseg'
custom_imports = dict(imports=['mmseg_imbalance'], allow_failed_imports=False)
# `custom_hooks = []` turns these off, if neither the loss nor the sampler needs one of them;
# tools/train.py adds ConsistencyHook and RunSummaryHook to every training without them.
custom_hooks = [
    dict(type='ConsistencyHook'),  # refuses contradictions; with refuse=False, it warns
    dict(type='ClassStatisticsHook'),  # for losses that are computed from class statistics
    dict(type='ClassFeedbackHook'),  # curves per class; feedback for class-balanced sampling
    dict(type='WeightingCurvesHook'),  # curves of how the loss weighs pixels
    dict(type='RunSummaryHook'),  # run.json, for comparing trainings
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# For fair comparisons, all methods start with the same weights and the same order of samples.
randomness = dict(seed=0)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(type='SegTTAModel')
