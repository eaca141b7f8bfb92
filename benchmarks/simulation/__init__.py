"""A discrete-event simulation of a cluster of speaker replicas."""
