"""Functions that become machine code: numba behind typed decorators (`functions`), and the code
kept on disk (`cache`).
"""

from asr.compiled.functions import READ_ONLY, Compiled, Helper, compiled, helper, inlined

__all__ = ["READ_ONLY", "Compiled", "Helper", "compiled", "helper", "inlined"]
