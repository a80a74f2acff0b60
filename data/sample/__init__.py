"""The built-in sample: cats and dogs that the program draws itself, nothing to download.

A drawing is a pure function of (seed, index), the same bytes on every machine: chance comes from a
frozen stream of bits (`dice`), geometry uses the exactly defined operations of floating point alone
(`pen`), and areas, light and noise are whole-number arithmetic (`canvas`, `picture`). The PNG files
hold the pixels as they are, since compressed bytes depend on the zlib at hand.
"""

from optrun.data.sample.picture import SAMPLE_SEED, SAMPLE_VERSION, draw, encode, label

__all__ = ["SAMPLE_SEED", "SAMPLE_VERSION", "draw", "encode", "label"]
