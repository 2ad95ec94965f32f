"""What ``socialgraph fit --help`` and its like say at once; ``--help_all`` asks every class."""

__all__ = ["HELP"]

_DATA = """\
  --data.series FILE.h5     readings, made by 'python -m data_prep convert' or 'simulate'
"""
_READ = """\
  --ckpt_path FILE.ckpt     checkpoint of 'socialgraph fit'; it says what data it is for
  --data.series FILE.h5     other readings than those of the training
  --data.windows.stride N   only every N-th window
"""
_ALL = """\
  --trust a,b               packages besides this one whose classes may be used
  --print_config            the whole configuration, as YAML
  --help_all                every option, with what it means (takes seconds)
"""
HELP = {
    "fit": f"""\
usage: socialgraph fit --config FILE [options]

Train a forecaster. Any value of a configuration is an option too, by its place in the YAML.

  --config FILE             profile of trainer, data and model ('socialgraph init' writes some)
{_DATA}  --data.networks "[A,B]"   several files, for one network that serves any
  --data.windows.window N, --data.windows.horizon N
                            steps that are read, and steps that are forecast
  --data.loading.batch_size N, --data.loading.num_workers N
  --model FILE              another model, such as configs/model/attention.yaml
  --model.learning_rate R   peak of the learning rate
  --model.objective Quantile
                            quantiles in place of a point (--model.objective.levels "[0.1,0.5,0.9]")
  --model.coverage C        of the intervals that validation windows calibrate, or null
  --model.silence S         share of the input that is taken away (0.1), to learn from outages
  --model.init_from FILE    start from the weights of a checkpoint, or 'pretrained'
  --trainer.max_epochs N
  --trainer.devices N, --trainer.accelerator gpu, --trainer.precision bf16-mixed
  --trainer.logger.init_args.version NAME
                            folder of the run, runs/default/NAME
  --overwrite               replace an earlier run there
  --ckpt_path last.ckpt     go on with a training that was stopped
{_ALL}""",
    "validate": f"""\
usage: socialgraph validate --ckpt_path FILE [options]

Tell the errors of a checkpoint on the validation windows.

{_READ}{_ALL}""",
    "test": f"""\
usage: socialgraph test --ckpt_path FILE [options]

Tell the errors of a checkpoint on the test windows, and write them as JSON beside it.

{_READ}  --errors.path FILE.json   where to write them
{_ALL}""",
    "predict": f"""\
usage: socialgraph predict --ckpt_path FILE [options]

Forecast the steps after the end of a file, as CSV and Parquet.

{_READ}  --data.windows.predict_on test
                            forecast every test window, with the truth beside it
  --forecast.path NAME      NAME.csv and NAME.parquet; NAME.csv alone if it ends so
  --forecast.alarm_rate R   false alarms of a detector and day in the column 'alarm'; null for none
{_ALL}""",
}
