"""`optrun runs`: what lies in the folders of runs, what one holds, and taking one away."""
