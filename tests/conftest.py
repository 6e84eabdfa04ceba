"""What holds for all tests."""

from hypothesis import settings

# Hypothesis gives an example 200 ms by default: an assertion about time, which a busy machine breaks.
settings.register_profile("impasto", deadline=None)
settings.load_profile("impasto")
