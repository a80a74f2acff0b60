"""The two classes of photo, and the numbers that stand for a class and for a part of the split.

Nothing but sources, configs and texts names the classes: whoever tells of them takes their names
from here.
"""

CAT, DOG = 0, 1
CLASS_NAMES = ("cat", "dog")  # by label; the network's logit is positive for the second
PLURAL_NAMES = ("cats", "dogs")
NO_PART, TRAIN, VALIDATION, TEST = 0, 1, 2, 3
