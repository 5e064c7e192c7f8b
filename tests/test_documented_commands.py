"""The commands and scripts of every page, run from top to bottom as a reader would."""

import socket

import page_checkout
import pytest
from pages import blocks, pages
from warm_python import warm_python

pytestmark = pytest.mark.docs


@pytest.fixture(scope='session')
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page') / 'template'
    folder.mkdir()
    with warm_python(folder.parent, **page_checkout.ENVIRONMENT) as python_script:
        page_checkout.prepare(folder, python_script)
        yield folder


@pytest.mark.parametrize('page', [p for p in pages() if page_checkout.script(blocks(p))])
def test_page(page, template, tmp_path):
    folder = page_checkout.copy(template, tmp_path / 'checkout')
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = str(server.getsockname()[1])
    done = page_checkout.shell(page_checkout.script(blocks(page)), folder, PORT=port)
    assert done.returncode == 0, done.stdout[-6000:]
