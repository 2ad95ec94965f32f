"""A small service: readings in, forecasts out, over HTTP (the extra ``serve``)."""
