"""The command line: ``socialgraph fit | validate | test | predict | stream | init``."""

import difflib
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from socialgraph import starter, stream_cli
from socialgraph.checkpoint import data_options, read_checkpoint
from socialgraph.data import TrafficDataModule
from socialgraph.forecaster import Forecaster
from socialgraph.writers import ErrorWriter, ForecastWriter

__all__ = ["ForecastCLI", "main"]

_RENAMED = {
    "data.path": "data.series",
    "data.window": "data.windows.window",
    "data.horizon": "data.windows.horizon",
    "data.stride": "data.windows.stride",
    "data.predict_on": "data.windows.predict_on",
    "data.num_targets": "data.targets (names)",
    "data.batch_size": "data.loading.batch_size",
    "data.num_workers": "data.loading.num_workers",
    "data.max_radius": "data.graph.init_args.max_radius",
    "data.border": "data.split.init_args.border",
}
_OTHER_COMMANDS = {"stream": stream_cli.main, "init": starter.main}


class SuggestingParser(LightningArgumentParser):
    """Parser that answers an unknown key with the known keys that look like it."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with ``message`` and suggestions, exit status 2."""
        if "Did you mean" not in message:
            message += _suggest(message, getattr(ex, "subcommand_parser", None) or self)
        super().error(message, ex)


class ConfigBesideLogs(SaveConfigCallback):
    """Saves the configuration of a training as ``config.yaml`` beside its logs."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it, in ``fit`` and if there are logs."""
        if stage == "fit" and trainer.logger is not None:
            super().setup(trainer, pl_module, stage)


class ForecastCLI(LightningCLI):
    """LightningCLI of a :class:`Forecaster` and a :class:`TrafficDataModule`.

    Sizes are written once, in the ``data`` section: the forecaster tells its network.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the writers of results."""
        parser.add_lightning_class_args(ErrorWriter, "errors")
        parser.add_lightning_class_args(ForecastWriter, "forecast")

    def _parse_ckpt_path(self) -> None:
        """Let nothing of a checkpoint go before what the command line says."""

    def before_instantiate_classes(self) -> None:
        """Leave the logs of a training to ``fit``, and a warm start to the first time."""
        config = self.config.get(str(self.subcommand), self.config)
        if self.subcommand != "fit":
            config.trainer.logger = False
        elif config.ckpt_path is not None and config.model.init_from is not None:
            config.model.init_from = None
            print("The training goes on from --ckpt_path; 'init_from' served its beginning alone.")

    def before_fit(self) -> None:
        """Without a validation part keep the last epoch, as there is nothing to choose by."""
        self.datamodule.setup("fit")
        if self.datamodule.val_dataloader():
            return
        callbacks = self.trainer.callbacks
        for callback in callbacks[:]:
            if isinstance(callback, ModelCheckpoint):
                callback.monitor = None
            elif isinstance(callback, EarlyStopping):
                callbacks.remove(callback)
        print("No validation part: all epochs are trained, and the last one is kept.")

    def before_predict(self) -> None:
        """Keep no forecasts in memory: the writer has them."""
        self.config_init["predict"]["return_predictions"] = False


def main(args: Sequence[str] | None = None) -> None:
    """Run a subcommand of the Trainer on a :class:`Forecaster` and a :class:`TrafficDataModule`.

    ``validate``, ``test`` and ``predict`` take the network and ``data`` from the checkpoint of
    ``--ckpt_path``; what the command line says goes before it. ``stream`` is
    :mod:`socialgraph.stream_cli`, ``init`` is :mod:`socialgraph.starter`.

    What a user can mend ends in one sentence and exit status 2; ``--traceback`` shows where it
    came from.

    Args:
        args: words of the command line; None for those of this process.
    """
    for message in (".*LeafSpec.*", "LightningCLI's args parameter"):
        warnings.filterwarnings("ignore", message=message)
    words = list(sys.argv[1:] if args is None else args)
    if words and words[0] in _OTHER_COMMANDS:
        _OTHER_COMMANDS[words[0]](words[1:])
        return
    plain = [word for word in words if word != "--traceback"] or ["--help"]
    try:
        _run(plain)
    except (ValueError, KeyError, OSError, RuntimeError, MisconfigurationException) as error:
        if "--traceback" in words:
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {text}\n(--traceback shows where it came from)", file=sys.stderr)
        sys.exit(2)


def _run(words: list[str]) -> None:
    words = _with_checkpoint_last(words)
    with tempfile.TemporaryDirectory() as folder:
        ForecastCLI(
            Forecaster,
            TrafficDataModule,
            save_config_callback=ConfigBesideLogs,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "description": "Train and apply traffic forecasters. Besides the subcommands below "
                "there are 'stream', which follows readings as they come, and 'init', which writes "
                "starter configurations: socialgraph stream --help, socialgraph init --help",
                **_defaults_from_checkpoint(words, Path(folder)),
            },
            parser_class=SuggestingParser,
            auto_configure_optimizers=False,
            args=words,
        )


def _defaults_from_checkpoint(words: list[str], folder: Path) -> dict:
    """The data section of the checkpoint that is named, as defaults of a subcommand.

    Raises:
        ValueError: if none is named, or it holds what it must not.
    """
    asks = any(word in ("-h", "--help") or word.endswith(".help") for word in words)
    if asks or not words or words[0] not in ("validate", "test", "predict"):
        return {}
    path = _value_of("--ckpt_path", words)
    if path is None:
        raise ValueError(
            f"'socialgraph {words[0]}' needs --ckpt_path: without a checkpoint the network has had "
            "no training."
        )
    trust = yaml.safe_load(_value_of("--model.trust", words) or "[]")
    data = data_options(read_checkpoint(path), [trust] if isinstance(trust, str) else trust)
    config = folder / "checkpoint.yaml"
    config.write_text(json.dumps({"data": data}))  # which is YAML, with its texts quoted
    return {words[0]: {"default_config_files": [str(config)]}}


def _with_checkpoint_last(words: list[str]) -> list[str]:
    """The words with ``--ckpt_path`` at the end, where it goes before that of a configuration."""
    path = _value_of("--ckpt_path", words)
    if path is None:
        return words
    kept, skip = [], False
    for word in words:
        if not (skip or word == "--ckpt_path" or word.startswith("--ckpt_path=")):
            kept.append(word)
        skip = word == "--ckpt_path"
    return [*kept, "--ckpt_path", path]


def _value_of(option: str, words: list[str]) -> str | None:
    """The value of an option; the last one counts."""
    value = None
    for place, word in enumerate(words):
        if word == option and place + 1 < len(words):
            value = words[place + 1]
        elif word.startswith(f"{option}="):
            value = word.removeprefix(f"{option}=")
    return value


def _suggest(message: str, parser: LightningArgumentParser) -> str:
    for old, new in _RENAMED.items():
        if re.search(rf"\b{re.escape(old)}\b", message):
            return f"\n'{old}' is called '{new}' now."
    known = {part for action in parser._actions for part in str(action.dest).split(".")}
    for first, second in re.findall(r"[Oo]ption '([\w.]+)'|--([\w.]+)", message):
        word = (first or second).rsplit(".", 1)[-1]
        close = difflib.get_close_matches(word, known - {word}, n=3)
        if close:
            return f"\nDid you mean {' or '.join(map(repr, close))}?"
    return ""
