"""Which methods the records of the studies speak for, given the classes of a training set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmseg_imbalance.evaluation.class_groups import class_groups
from mmseg_imbalance.statistics.class_distribution import percent
from mmseg_imbalance.statistics.class_statistics import ClassStatistics
from mmseg_imbalance.utils.errors import ToolError

from .compared_runs import Spread
from .plan import MEANS, Plan, Trial
from .results import Results
from .run import Run

FEW_IMAGES = 0.1  # a class in a smaller share of them is rare by images; --help of the tool has why
MISSED = 50.0  # a class is missed if a run's recall of it, in percent, is lower


class Rule(NamedTuple):
    """A method to consider for classes in a situation, after docs/choosing.md."""

    situation: str  # 'few images', 'few pixels' (in enough images) or 'none'
    method: str  # its key in lab/plans/methods.py
    condition: str  # what else has to hold, which the data do not tell
    page: str  # folder of its page in configs


_ALARMS = 'missing a rare class is worse than a false alarm'
_WEIGHTS = 'the loss should stay a cross-entropy with fixed weights'
_GENTLE = 'frequent classes should keep their scores'
_ACCURACY = 'only mean accuracy counts'
_KNOWN = 'a comparison with well-known methods is wanted'
_CHEAPER = 'frequent classes should keep their scores, in less time than with Lovász soft-max'
_HARD = 'hard or small objects are lost in the mean'
_QUICK = f'{_HARD}, and a training step should take hardly longer'

RULES = (
    Rule('few images', 'recall-cbs', _ALARMS, 'class_balanced_sampling'),
    Rule('few images', 'recall-lovasz-cbs', _ALARMS, 'class_balanced_sampling'),
    Rule('few images', 'lmp-cbs', _HARD, 'class_balanced_sampling'),
    Rule('few pixels', 'recall', _ALARMS, 'recall_loss'),
    Rule('few pixels', 'recall-lovasz', _ALARMS, 'recall_loss'),
    Rule('few pixels', 'lmp-lovasz', f'{_GENTLE}, and {_HARD}', 'loss_max_pooling'),
    Rule('few pixels', 'lmp-balanced', f'{_HARD}, and rare classes count most', 'loss_max_pooling'),
    Rule('few pixels', 'lmp', _QUICK, 'loss_max_pooling'),
    Rule('few pixels', 'recall-cbs', _ALARMS, 'class_balanced_sampling'),
    Rule('few pixels', 'recall-lovasz-cbs', _ALARMS, 'class_balanced_sampling'),
    Rule('few pixels', 'lmp-cbs', _HARD, 'class_balanced_sampling'),
    Rule('few pixels', 'ce-lovasz', _GENTLE, 'baselines'),
    Rule('few pixels', 'unified-focal', _CHEAPER, 'baselines'),
    Rule('few pixels', 'balanced-softmax', _KNOWN, 'baselines'),
    Rule('few pixels', 'focal', _KNOWN, 'baselines'),
    Rule('few pixels', 'wce-auto', _WEIGHTS, 'baselines'),
    Rule('few pixels', 'lovasz', _KNOWN, 'baselines'),
    Rule('few pixels', 'wce-median', _ACCURACY, 'baselines'),
    Rule('none', 'ce', 'a class counts as much as its pixels', 'cross_entropy'),
)


@dataclass(frozen=True)
class ClassState:
    """A class: its shares of pixels and images in [0, 1], its scores in a run in percent or NaN."""

    name: str
    pixels: float
    images: float
    iou: float = np.nan
    recall: float = np.nan

    @property
    def rare(self) -> list[str]:
        """By what it is rare: ``'pixels'``, ``'images'``, both or, also if absent, neither."""
        tail = class_groups(np.array([self.pixels])) == ('tail',)
        kinds = {'pixels': tail, 'images': self.images < FEW_IMAGES}
        return [kind for kind, rare in kinds.items() if rare and self.pixels]

    @property
    def situation(self) -> str:
        """What a method has to help with, as in :class:`Rule`; ``'missed'`` if it is not rare."""
        if self.rare and not self.recall >= MISSED:  # NaN is neither
            return f'few {self.rare[-1]}'
        return 'missed' if self.pixels and self.recall < MISSED else 'none'

    @property
    def verdict(self) -> str:
        """The same in words, '' for a class that needs no help."""
        words = [f'rare by {" and ".join(self.rare)}'] if self.rare else []
        if self.recall < MISSED or (words and self.recall >= MISSED):
            words.append('missed' if self.recall < MISSED else 'found anyway')
        return ', '.join(words) if self.pixels else 'has no pixel'


class Recommendation(NamedTuple):
    """A rule's method, its name, the reason for it in the user's data, the studies that have it."""

    rule: Rule
    name: str
    reason: str
    studies: list[Results]

    def scores(self, mean: str) -> list[Spread]:
        """Returns, for each study, the judged gain of a mean; for the baseline, its own mean."""
        return [
            (s.mean if self.rule.method == s.plan.baseline else s.judged_gain)(
                s.plan.methods[self.rule.method], mean
            )
            for s in self.studies
        ]

    @property
    def trial(self) -> Trial:
        """A trial of the method, with the values that were chosen for it."""
        study, key = self.studies[0], self.rule.method
        return (study.trained.get(key) or study.tuned_as_chosen(key))[0].trial

    def repeated(self, mean: str) -> dict[str, Spread]:
        """Returns the gains by plan of the studies with several runs: one has no deviation."""
        keys = [study.plan.key for study in self.studies]
        return {k: g for k, g in zip(keys, self.scores(mean), strict=True) if g.runs > 1}


def class_states(statistics: ClassStatistics, run: Run | None = None) -> list[ClassState]:
    """Returns the classes of a training set, the most frequent first.

    Raises:
        ToolError: If the run has other classes.
    """
    if run and set(run.classes) != set(statistics.classes):
        raise ToolError(
            f'{run.work_dir} has the classes {", ".join(run.classes)}, the training set '
            f'{", ".join(statistics.classes)}: give a run of the same config'
        )
    shares = zip(*statistics.shares().values(), strict=True)
    scores = [run.scores['IoU'], run.scores['Acc']] if run else []
    states = [
        ClassState(name, *map(float, share), *(score[name] for score in scores))
        for name, share in zip(statistics.classes, shares, strict=True)
    ]
    return sorted(states, key=lambda state: -state.pixels)


def read_evidence(plans: Path) -> list[Results]:
    """Reads the results of all plans in a folder whose baseline is trained."""
    evidence = []
    for folder in sorted(path for path in plans.glob('results/*') if path.is_dir()):
        plan = Plan.fromfile(plans / f'{folder.name}.py')
        if any(folder.glob(f'train/{plan.baseline}_seed*.json')):
            evidence.append(Results.read(plan, folder))
    return evidence


def advise(
    classes: Sequence[ClassState], evidence: Sequence[Results]
) -> tuple[list[Recommendation], dict[str, str]]:
    """Applies the rules to classes, first to those in few images.

    A method is recommended if it raises mIoU by more than a standard deviation in more than half of
    the studies that have several runs of it, and so too the IoU of the tail. Methods for one
    situation are in the order of :func:`_rank`, of those with the same condition only the first.
    Classes in few images count as in few pixels as well if they are rare by pixels, too.

    Returns:
        The recommendations, and the reason for every other method by its name.
    """
    found, withheld, concerned = {}, {}, {}
    names = {key: method.name for s in evidence for key, method in s.plan.methods.items()}
    recorded = _few_images_recorded(evidence)
    for c in classes:
        concerned.setdefault(c.situation, []).append(c)
        if c.situation == 'few images' and 'pixels' in c.rare:
            concerned.setdefault('few pixels', []).append(c)
    for situation in dict.fromkeys(rule.situation for rule in RULES):
        if (
            situation not in concerned
            or (situation == 'few images' and not recorded)
            or (situation == 'none' and len(concerned) > 1)
        ):
            continue
        fitting, purposes, reason = [], {}, _reason(situation, concerned[situation])
        for rule in (rule for rule in RULES if rule.situation == situation):
            name = names.get(rule.method, rule.method)
            each = Recommendation(rule, name, reason, _studies(rule, evidence))
            against = _against(each)
            if against:
                withheld[each.name] = against
            else:
                fitting.append(each)
        for each in sorted(fitting, key=_rank):
            first = purposes.setdefault(each.rule.condition, each)
            if each is first:
                found.setdefault(each.rule.method, each)
            else:
                withheld[each.name] = f'the records speak more for {first.name}, with the same "if"'
    recommended = list(found.values())
    elsewhere = {each.name for each in recommended}  # recommended for another situation
    return recommended, {name: why for name, why in withheld.items() if name not in elsewhere}


def unrecorded(classes: Sequence[ClassState], evidence: Sequence[Results]) -> list[str]:
    """Names the classes that need help, and of which there are no records; a text for each kind."""
    (page,) = {rule.page for rule in RULES if rule.situation == 'few images'}
    notes = {
        'few images': 'There are no records of several runs on data with classes in few images; '
        f'see configs/{page}/README.md',
        'missed': 'No method is judged by such classes; pictures may show why they are missed, see '
        'docs/seeing.md',
    }
    if _few_images_recorded(evidence):
        del notes['few images']
    concerned = {kind: [c for c in classes if c.situation == kind] for kind in notes}
    return [f'{_reason(kind, found)}. {notes[kind]}' for kind, found in concerned.items() if found]


def judged_title(study: Results) -> str:
    """Returns a study's title, with a note if its methods are judged by what was held out."""
    return study.plan.title + ', held-out parts' * study.plan.in_turn


def _few_images_recorded(evidence: Sequence[Results]) -> bool:
    return any(_studies(rule, evidence) for rule in RULES if rule.situation == 'few images')


def _studies(rule: Rule, evidence: Sequence[Results]) -> list[Results]:
    """Returns the studies with a rule's method whose data are in the rule's situation.

    Of those with one setting, which train for longer from name to name, the last one with several
    runs counts, or else the last one.
    """
    judged = [s for s in evidence if _is_judged(s, rule.method)]
    judged.sort(key=lambda s: _runs(s, rule.method) > 1)
    by_setting = {s.plan.setting: s for s in judged}
    measured = [s for s in evidence if s is by_setting.get(s.plan.setting)]
    if rule.situation == 'few images':  # one seed is too little to go by such studies alone
        return [s for s in measured if _has_classes_in_few_images(s) and _runs(s, rule.method) > 1]
    return measured


def _has_classes_in_few_images(study: Results) -> bool:
    """Whether the records of a study say something about such classes, if of only one."""
    shares = study.comparison.image_shares().values()
    return any(0 < share < 100 * FEW_IMAGES for share in shares)


def _is_judged(study: Results, method: str) -> bool:
    return method in study.plan.methods and _runs(study, method) > 0


def _runs(study: Results, method: str) -> int:
    return study.judged_gain(study.plan.methods[method], 'mIoU').runs


def _against(each: Recommendation) -> str:
    """Says why a method is not recommended, '' if it is."""
    if not each.studies:
        few = each.rule.situation == 'few images'
        what = 'several runs of it on data with classes in few images' if few else 'it'
        return f'there are no records of {what}; see configs/{each.rule.page}/README.md'
    for mean in ('mIoU', 'mIoU_tail') if each.rule.situation != 'none' else ():
        gains = each.repeated(mean).values()
        if 2 * sum(gain.mean > gain.std for gain in gains) <= len(gains):
            named = zip(each.scores(mean), each.studies, strict=True)
            spreads = ((f'{g.mean:+.1f} ± {g.std:.1f}', judged_title(s)) for g, s in named)
            shown = (f'{text.removesuffix(" ± nan")} on {title}' for text, title in spreads)
            return f'the records do not speak for it: {MEANS[mean]} {", ".join(shown)}'
    return ''


def _rank(each: Recommendation) -> tuple[bool, float]:
    """Orders methods by their gain of mIoU, first those scored on parts held out in turn.

    It is the mean over the studies with several runs, of such parts if there are any: they show
    what a network does with scenes that it has never seen.
    """
    gains = each.repeated('mIoU')
    in_turn = [study.plan.key for study in each.studies if study.plan.in_turn]
    unseen = [gains[key].mean for key in in_turn if key in gains]
    found = unseen or [gain.mean for gain in gains.values()]
    return not unseen, -sum(found) / max(len(found), 1)


def _reason(situation: str, concerned: Sequence[ClassState]) -> str:
    if situation == 'none':
        rare = ', '.join(c.name for c in concerned if c.rare)
        return f'the run finds the rare classes: {rare}' if rare else 'no class is rare'
    names = ', '.join(c.name for c in concerned[-5:]) + ' and others' * (len(concerned) > 5)
    least, most = (percent(extreme(c.images for c in concerned)) for extreme in (min, max))
    in_enough = not any('images' in c.rare for c in concerned)
    words = {
        'few images': f'in {most} % of the images or fewer',
        'few pixels': 'rare by pixels' + f', but in {least} % of the images or more' * in_enough,
        'missed': 'not rare, and yet missed',
    }
    return f'{names}: {words[situation]}'
