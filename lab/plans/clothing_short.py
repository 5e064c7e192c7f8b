# Clothing Co-Parsing, a short study for a first look: three methods, one seed, no tuning, and the
# ImageNet weights of the config, which are downloaded once (14 MB).
_base_ = './clothing.py'
title = 'Clothing Co-Parsing, short'
seeds = [0]
options = {
    '_delete_': True,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
}
highlights = ['ce', 'ce-lovasz', 'recall-lovasz-cbs']
methods = {'_delete_': True, **{key: _base_.methods[key] for key in highlights}}
targets = []
