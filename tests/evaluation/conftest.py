"""What is judged: the folders that training learns from."""

from tests.training.conftest import contents, impasto, styles

__all__ = ["contents", "impasto", "styles"]
