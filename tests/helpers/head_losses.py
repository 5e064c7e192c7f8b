"""The losses of a head's config, be it one or several that are added."""


def losses_of(head):
    return head.loss_decode if isinstance(head.loss_decode, list) else [head.loss_decode]
