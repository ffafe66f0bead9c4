"""An installation as one file says it is to be: from the file and what is there to a plan, from the plan to writes."""
