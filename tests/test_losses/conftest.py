import pytest
from batches import draw_batch


@pytest.fixture
def batch():
    return draw_batch()
