"""Constants of the cost model: fitted on half of a measured profile, judged on the rest."""
