"""The command `impasto`, by which networks are looked into."""

from tests.training.conftest import impasto

__all__ = ["impasto"]
