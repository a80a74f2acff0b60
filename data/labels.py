"""The numbers that stand for a photo's class, and for a part of the split."""

CAT, DOG = 0, 1
NO_PART, TRAIN, VALIDATION, TEST = 0, 1, 2, 3
