"""Going on with runs that ended before their time, and with plans that were cut short."""
