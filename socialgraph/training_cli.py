"""``socialgraph fit | validate | test | predict``: the Trainer's commands, from YAML."""

import difflib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from socialgraph.atomic import replacing
from socialgraph.checkpoint import data_options, read_checkpoint
from socialgraph.data import NetworksDataModule
from socialgraph.data.section import DataSection
from socialgraph.error_table import describe_errors, format_errors
from socialgraph.forecaster import Forecaster
from socialgraph.hush import be_quiet
from socialgraph.progress import Progress
from socialgraph.protocol import hash_data
from socialgraph.run_record import describe_run, run_folder
from socialgraph.shell import split_names
from socialgraph.writers import ErrorWriter, ForecastWriter

__all__ = ["ForecastCLI", "main", "parse", "run"]

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
    "model.loss": "model.objective.loss (after --model.objective=Point)",
    "model.huber_delta": "model.objective.huber_delta (after --model.objective=Point)",
    "data.border": "data.split.init_args.border",
}


class SuggestingParser(LightningArgumentParser):
    """Parser that answers an unknown key with the known keys that look like it."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with ``message`` and suggestions, exit status 2."""
        parser = getattr(ex, "subcommand_parser", None) or self
        if "Did you mean" not in message:
            message += _suggest(message, parser)
        if not self.exit_on_error:
            super().error(message, ex)
        program = parser.prog.replace(" [options]", "")
        print(f"error: {message}\n('{program} --help_all' lists the options)", file=sys.stderr)
        self.exit(2)


class ConfigBesideLogs(SaveConfigCallback):
    """Keeps with what a training was made, in its folder: ``config.yaml`` and ``run.json``.

    The second holds the command line, versions, and checksums of the readings.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, save_to_log_dir=False, **kwargs)  # some loggers have none

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write them, in ``fit`` and if there are logs."""
        if stage == "fit" and trainer.logger is not None:
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the two files, on the first process."""
        folder = run_folder(trainer)
        config = self.config.clone()
        config.overwrite = False  # was asked for this once
        text = self.parser.dump(config, skip_none=False)
        record = {**describe_run(), "data": hash_data(trainer.datamodule)}
        for name, content in (("config.yaml", text), ("run.json", json.dumps(record, indent=1))):
            with replacing(folder / name) as temporary:
                temporary.write_text(content)


class ForecastCLI(LightningCLI):
    """LightningCLI of a :class:`Forecaster` and a :class:`TrafficDataModule`.

    Sizes are written once, in the ``data`` section: the forecaster tells its network.

    Args:
        command: the one subcommand that it knows, as the parser of each takes time; None for none.
        args, kwargs: of LightningCLI.
    """

    def __init__(self, *args: Any, command: str | None, **kwargs: Any) -> None:
        self._command = command
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:
        """The command with the arguments of the Trainer's that the command line does not give."""
        known = LightningCLI.subcommands()
        return {name: skipped for name, skipped in known.items() if name == self._command}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the writers of results, and what only the command line knows."""
        parser.add_argument(
            "--overwrite", action="store_true", help="'fit' may replace the files of an earlier run"
        )
        parser.add_argument(
            "--trust",
            default="",
            help="packages besides this one whose classes a checkpoint may name, with commas "
            "between them; their code is run",
        )
        parser.link_arguments("trust", "model.trust", compute_fn=split_names)
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
        """Touch no earlier run, and without a validation part keep the last epoch.

        Raises:
            FileExistsError: if the folder of the logs holds another run.
        """
        self._spare_earlier_run()
        self.datamodule.setup("fit")
        self._tell_networks()
        if self.datamodule.val_dataloader():
            return
        callbacks = self.trainer.callbacks
        for callback in callbacks[:]:
            if isinstance(callback, ModelCheckpoint):
                callback.monitor = None
            elif isinstance(callback, EarlyStopping):
                callbacks.remove(callback)
        print("No validation part: all epochs are trained, and the last one is kept.")

    def _tell_networks(self) -> None:
        if self.trainer.is_global_zero and isinstance(self.datamodule, NetworksDataModule):
            print(self.datamodule.summary())

    def _spare_earlier_run(self) -> None:
        folder = run_folder(self.trainer)
        ckpt_path = self.config.fit.ckpt_path
        goes_on = ckpt_path is not None and Path(ckpt_path).resolve().is_relative_to(
            folder.resolve()
        )
        if goes_on or self.config.fit.overwrite or not self.trainer.is_global_zero:
            return
        kept = [*folder.glob("checkpoints/*.ckpt")]
        if self.trainer.loggers:
            kept += [folder / name for name in ("config.yaml", "metrics.csv")]
        if kept := [path for path in kept if path.is_file()]:
            raise FileExistsError(
                f"'{folder}' holds an earlier run ('{kept[0]}'). Go on with it by --ckpt_path, "
                "name another place by --trainer.logger.init_args.version (without logs "
                "--trainer.default_root_dir), or replace it by --overwrite."
            )

    def before_test(self) -> None:
        """Print no second table of the errors."""
        self.datamodule.setup("test")
        self._tell_networks()
        self.config_init["test"]["verbose"] = False

    def before_validate(self) -> None:
        """Leave the table of the errors to :meth:`after_validate`."""
        self.config_init["validate"]["verbose"] = False

    def after_validate(self) -> None:
        """Print the errors as ``test`` does."""
        spec = self.model.given
        print(format_errors(describe_errors(spec, self.model.val_errors), spec.horizon_minutes))

    def before_predict(self) -> None:
        """Keep no forecasts in memory: the writer has them."""
        self.config_init["predict"]["return_predictions"] = False


def main(words: list[str]) -> None:
    """Run a subcommand of the Trainer on a :class:`Forecaster` and a :class:`TrafficDataModule`.

    ``validate``, ``test`` and ``predict`` take the network and ``data`` from the checkpoint of
    ``--ckpt_path``; what the command line says goes before it.

    Args:
        words: words of the command line, from the subcommand on.

    Raises:
        ValueError, KeyError, OSError, RuntimeError: for what a user can mend.
        SystemExit: after Ctrl-C, when the Trainer has ended.
    """
    run(words)


def run(words: list[str]) -> ForecastCLI:
    """As :func:`main`; gives what was run."""
    be_quiet()
    words = _with_checkpoint_last(words)
    with tempfile.TemporaryDirectory() as folder:
        return _open(words, **_defaults_from_checkpoint(words, Path(folder)))


def parse(words: list[str]) -> ForecastCLI:
    """What ``fit`` would train, made from its words, and nothing run; raises as :func:`main`."""
    be_quiet()
    return _open(words, run=False, prog="socialgraph fit")


def _open(words: list[str], run: bool = True, **parser_kwargs: Any) -> ForecastCLI:
    try:
        return ForecastCLI(
            Forecaster,
            DataSection,
            save_config_callback=ConfigBesideLogs if run else None,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "description": "Train and apply traffic forecasters.",
                **parser_kwargs,
            },
            parser_class=SuggestingParser,
            auto_configure_optimizers=False,
            trainer_defaults=_trainer_defaults(),
            args=words,
            command=words[0] if run else None,
            run=run,
        )
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def _trainer_defaults() -> dict:
    """A progress bar only where it can be seen, and what a training says in its place."""
    defaults = {"callbacks": [Progress()], "enable_model_summary": False}
    return defaults if sys.stderr.isatty() else {**defaults, "enable_progress_bar": False}


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
    data = data_options(read_checkpoint(path), split_names(_value_of("--trust", words) or ""))
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
