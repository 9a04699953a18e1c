"""What is wrong with the structure of a file, whatever its format."""


class StructureError(Exception):
    """What was expected, and what was found instead, and where."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected, self.found = expected, found


class ImpossibleError(StructureError):
    """What no file of this size can hold, and what a decoder would reserve memory for."""
