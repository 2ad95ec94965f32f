"""The command line: ``socialgraph COMMAND``. A command is imported when it is asked for."""

import importlib
import sys
from collections.abc import Sequence
from functools import partial

from socialgraph import __version__, shell
from socialgraph.training_help import HELP

__all__ = ["main"]

# Name: the module whose 'main' takes the words, and what the command does.
_COMMANDS = {
    "init": ("starter", "Write starter configurations to a folder."),
    "forecast": (
        "forecast_cli",
        "Forecast readings at once, by a network trained before.",
    ),
    "fit": ("training_cli", "Train a forecaster."),
    "validate": ("training_cli", "Tell the errors of a checkpoint on the validation windows."),
    "test": ("training_cli", "Tell the errors of a checkpoint on the test windows."),
    "predict": ("training_cli", "Forecast the steps after the end of a file, as a table."),
    "backtest": ("backtest.command", "Train and test fold by fold in time, beside rivals."),
    "compare": ("compare", "Put results of one protocol into one table."),
    "stream": ("stream.command", "Follow readings as they come, and forecast after each."),
    "serve": ("serve.command", "Take readings and give forecasts over HTTP."),
    "alarms": ("alarms_cli", "List the alarms of a table of forecasts."),
    "export": ("export", "Write a checkpoint as ONNX or as a torch program."),
    "report": ("report", "Write what a checkpoint can do as one page, to look at."),
    "plot": ("plot", "Draw a table of forecasts."),
}
_HELP = """\
usage: socialgraph COMMAND [options]

Traffic forecasts for the detectors of a road network.

{commands}

'socialgraph COMMAND --help' lists the options of a command; 'python -m data_prep --help' tells how
readings become the file that is trained on. With a table of readings, or a network of your own:

  socialgraph forecast readings.csv --detectors detectors.csv

  python -m data_prep simulate data/simulated.h5
  socialgraph init
  socialgraph fit --config configs/simulated.yaml
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command; see :func:`socialgraph.shell.run` for how it ends.

    Args:
        args: words of the command line; None for those of this process.

    Raises:
        SystemExit: with the exit status, if it is not 0.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, _COMMANDS))
        lines = (f"  {name:<{width}}  {text}" for name, (_, text) in _COMMANDS.items())
        print(_HELP.format(commands="\n".join(lines)), end="")
        return
    if words[0] == "--version":
        print(f"socialgraph {__version__}")
        return
    if words[0] == "--traceback" and words[1:]:
        words = [*words[1:], "--traceback"]
    if status := shell.run(partial(_run, words[0]), shell.spell(words[1:], "_")):
        sys.exit(status)


def _run(name: str, words: list[str]) -> int | None:
    if name not in _COMMANDS:
        raise ValueError(f"There is no command {name!r}, but {', '.join(_COMMANDS)}.")
    if name in HELP and set(words) & {"-h", "--help"}:
        print(HELP[name], end="")
        return None
    words = ["--help" if word == "--help_all" else word for word in words]
    module = importlib.import_module(f"socialgraph.{_COMMANDS[name][0]}")
    return module.main([name, *words] if module.__name__.endswith(".training_cli") else words)
