"""Reading the log of a training that is going on."""

import json

from lab.study.live_log import latest_loss


def write(folder, session, *lines):
    file = folder / session / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(lines))


def test_nothing_is_logged_yet(tmp_path):
    assert latest_loss(tmp_path / 'nowhere') is None
    write(tmp_path, '20260101_000000', '')
    assert latest_loss(tmp_path) is None


def test_the_newest_loss_of_the_latest_session(tmp_path):
    loss = [json.dumps({'step': step, 'loss': 1 / step}) for step in (1, 2)]
    write(tmp_path, '20260101_000000', json.dumps({'step': 9, 'loss': 0.1}))
    write(tmp_path, '20260102_000000', *loss, json.dumps({'step': 2, 'mIoU': 5}), '{"step": 3, "lo')
    assert latest_loss(tmp_path) == {'step': 2, 'loss': 0.5}
