"""What a loss needs to be found: by configs, and by the tests of all losses."""

from loss_configs import listed_losses

from mmseg_imbalance import losses

BASES = {
    losses.SegmentationLoss,
    losses.PixelWeightingLoss,
    losses.ClassCountLoss,
    losses.ClassPriorLoss,
    losses.RegionLoss,
}


def test_every_listed_loss_can_be_named_in_a_config():
    """Without ``@MODELS.register_module()`` the tests of all losses would not see it either."""
    found = [getattr(losses, name) for name in losses.__all__]
    classes = [c for c in found if isinstance(c, type) and issubclass(c, losses.SegmentationLoss)]
    listed = listed_losses(losses.PixelWeightingLoss) + listed_losses(losses.RegionLoss)
    assert {c.__name__ for c in classes if c not in BASES} == set(listed)
