"""Errors a user can cause and can mend.

Each message says what was expected, what was found, where (file, line, key) and what to do.
Anything else that is raised is a bug in this package.
"""


class AsrError(Exception):
    """A mistake outside the code: in a file, a setting or a command line."""


class AudioError(AsrError):
    """An audio file that cannot be read, or that breaks a stated limit."""


class DamagedAudioError(AudioError):
    """A recording that lacks some of what it should hold; what is left of it can be read."""


class ManifestError(AsrError):
    """A corpus manifest that is malformed, or that names data which cannot be trained on."""


class TextError(AsrError):
    """A transcript that the token table cannot spell."""


class ConfigError(AsrError):
    """An unknown setting, or a value outside its range."""


class CheckpointError(AsrError):
    """A checkpoint that is missing, torn, altered, or of a newer format."""
