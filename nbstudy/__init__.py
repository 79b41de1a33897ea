"""Studies that are run by notebooks; `load_results` is for anybody's own notebook.

Nothing heavy is imported before it is used: a command with nothing to do is fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbstudy.records.results import Results, load_results

__all__ = ["Results", "load_results"]
__version__ = "1.0"


def __getattr__(name: str) -> Any:
    """Import what is public when it is first asked for, since pandas takes half a second."""
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from nbstudy.records import results

    return getattr(results, name)
