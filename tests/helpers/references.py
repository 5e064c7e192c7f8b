"""Independent float64 twins of what the package computes, as plain as they can be."""

import math

import numpy as np


def max_pooling_weights(losses, p: float, ratio: float) -> np.ndarray:
    """The optimal weights w (Σ w ℓ is the pooled loss) of n losses, by sorting."""
    losses = np.asarray(losses, dtype=np.float64)
    n = len(losses)
    m = max(1.0, ratio * n)
    if math.isinf(p) or ratio == 1:
        return np.full(n, 1 / n)
    if p == 1:
        order = np.argsort(-losses, kind='stable')
        weights = np.zeros(n)
        whole = math.floor(m)
        weights[order[:whole]] = 1 / m
        weights[order[whole : whole + 1]] = (m - whole) / m
        _, tie = np.unique(losses, return_inverse=True)  # equal losses share their weight
        return (np.bincount(tie, weights) / np.bincount(tie))[tie]
    q = p / (p - 1)
    tau = n ** (-1 / q) * m ** (-1 / p)
    if (losses > 0).sum() <= m:
        return tau * (losses > 0)
    with np.errstate(divide='ignore'):
        log_loss = np.log(losses)
    ascending = np.sort(log_loss)
    log_sums = np.logaddexp.accumulate(q * ascending)  # log S_1 … log S_n
    log_sums_before = np.concatenate([[-np.inf], log_sums[:-1]])
    room = m - n + np.arange(n)  # m - n + i - 1 with i from 1
    with np.errstate(divide='ignore', invalid='ignore'):
        holds = (room > 0) & (np.log(room) + q * ascending >= log_sums_before)
    if holds.any():
        i = int(np.argmax(holds))
        log_alpha = (log_sums_before[i] - math.log(room[i])) / q
    else:
        log_alpha = (log_sums[-1] - math.log(m)) / q
    return tau * np.exp((q - 1) * np.minimum(log_loss - log_alpha, 0))


def recall_loss(
    logits, label, floor, normalizer, ignore_index=255, class_weight=None, pixel_weight=None
) -> float:
    """The recall loss of logits (N, C, H, W), pixel by pixel."""
    logits = np.asarray(logits, dtype=np.float64)
    num_classes = logits.shape[1]
    pixels = logits.transpose(0, 2, 3, 1).reshape(-1, num_classes)
    labels = np.asarray(label).reshape(-1)
    factors = np.ones(len(labels)) if pixel_weight is None else np.asarray(pixel_weight).reshape(-1)
    total, missed = [0] * num_classes, [0] * num_classes
    for pixel, y in zip(pixels, labels, strict=True):
        if y != ignore_index:
            total[y] += 1
            missed[y] += int(np.argmax(pixel) != y)
    weights = [
        max(fn, floor) / max(n, floor) if max(n, floor) > 0 else 0.0
        for fn, n in zip(missed, total, strict=True)
    ]
    if class_weight is not None:
        weights = [w * c for w, c in zip(weights, class_weight, strict=True)]
    loss = scale = 0.0
    for pixel, y, factor in zip(pixels, labels, factors, strict=True):
        if y != ignore_index:
            cross_entropy = np.log(np.exp(pixel - pixel.max()).sum()) + pixel.max() - pixel[y]
            loss += weights[y] * cross_entropy * factor
            scale += weights[y]
    divisor = {'weight': scale, 'valid': sum(total), 'all': len(labels)}[normalizer]
    return loss / divisor if divisor else 0.0


def recall_class_weights(pred, label, floor, num_classes) -> list[float]:
    """1 - recall of every class, of the pixels (any shape) that are not ignored."""
    weights = []
    for c in range(num_classes):
        total, missed = np.sum(label == c), np.sum((label == c) & (pred != c))
        weights.append(max(missed, floor) / max(total, floor) if max(total, floor) else 0.0)
    return weights


def pixel_weights(cfg, losses, logits, label, ignore_index) -> np.ndarray:
    """The weights (N, H, W) with which a loss adds up the pixel losses, from its config.

    Args:
        cfg: Config of a loss of the package.
        losses: (N, H, W), not yet multiplied with class weights.
        logits: (N, C, H, W).
        label: (N, H, W).
        ignore_index: Label of the pixels to leave out.
    """
    valid = label != ignore_index
    factors = np.zeros(label.shape)
    # those that the losses hold, in float32
    class_weight = np.ones(logits.shape[1]) if not cfg.get('class_weight') else np.array(
        cfg['class_weight'], np.float32
    )  # fmt: skip
    factors[valid] = class_weight[label[valid]]
    if cfg['type'] == 'LossMaxPooling':
        weighted = (losses * factors.astype(losses.dtype)).astype(np.float32)
        groups = range(len(label)) if cfg.get('pool', 'image') == 'image' else [slice(None)]
        weights = np.zeros(label.shape)
        for group in groups:
            if valid[group].any():
                kept = weighted[group][valid[group]]
                optimal = max_pooling_weights(kept, cfg.get('p', 1.7), cfg.get('ratio', 0.25))
                weights[group][valid[group]] = optimal / len(groups)
        return weights * factors
    divisor = valid.sum()
    if cfg['type'] == 'RecallLoss':
        pred = logits.argmax(1)
        floor = cfg.get('floor', 1)
        recall = np.array(recall_class_weights(pred[valid], label[valid], floor, logits.shape[1]))
        factors[valid] *= recall[label[valid]]
        normalizer = cfg.get('normalizer', 'weight')
        divisor = {'weight': factors.sum(), 'valid': divisor, 'all': label.size}[normalizer]
    elif cfg['type'] == 'WeightedCrossEntropyLoss' and cfg.get('normalizer') != 'valid':
        divisor = factors.sum()
    return factors / divisor if divisor else factors


def pixel_losses(cfg, logits, label, ignore_index) -> tuple[np.ndarray, np.ndarray]:
    """The pixel losses (N, H, W) of a loss, and their gradients (N, C, H, W); 0 where ignored."""
    valid = label != ignore_index
    if cfg['type'] == 'LogitAdjustedLoss':
        prior = np.array(cfg['prior']) / sum(cfg['prior'])
        logits = logits + cfg.get('tau', 1) * np.log(prior)[:, None, None]
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    right = np.arange(logits.shape[1])[:, None, None] == label[:, None]
    losses = -np.where(right, log_p, 0).sum(1)
    gradients = (np.exp(log_p) - right) * valid[:, None]
    if cfg['type'] == 'SoftmaxFocalLoss':
        gamma, p = cfg.get('gamma', 2), np.exp(-losses)
        missing = np.maximum(-np.expm1(-losses), 1e-7)
        slope = missing**gamma + gamma * missing ** (gamma - 1) * p * losses
        losses, gradients = missing**gamma * losses, slope[:, None] * gradients
    return np.where(valid, losses, 0), gradients


def _valid_pixels(logits, label, ignore_index):
    """Place, logits and label of every pixel of logits (N, C, H, W) that is not ignored."""
    logits = np.asarray(logits, dtype=np.float64)
    for n, row, column in np.argwhere(np.asarray(label) != ignore_index):
        yield (n, row, column), logits[n, :, row, column], int(label[n, row, column])


def weighted_cross_entropy(
    logits, label, class_weight, normalizer, ignore_index=255, pixel_weight=None
) -> float:
    """Cross-entropy with a weight per class, divided by the sum of those or by the pixels."""
    loss = scale = 0.0
    for place, pixel, y in _valid_pixels(logits, label, ignore_index):
        factor = 1.0 if pixel_weight is None else float(pixel_weight[place])
        loss += class_weight[y] * factor * math.log(sum(np.exp(pixel - pixel[y])))
        scale += {'weight': class_weight[y], 'valid': 1}[normalizer]
    return loss / scale if scale else 0.0


def logit_adjusted_loss(logits, label, prior, tau, ignore_index=255) -> float:
    """The mean of log(1 + Σ_{c ≠ y} (π_c / π_y)^τ exp(f_c - f_y)) over the valid pixels."""
    losses = []
    for _, pixel, y in _valid_pixels(logits, label, ignore_index):
        odds = (np.array(prior) / prior[y]) ** tau * np.exp(pixel - pixel[y])
        losses.append(math.log1p(sum(np.delete(odds, y))))
    return float(np.mean(losses)) if losses else 0.0
