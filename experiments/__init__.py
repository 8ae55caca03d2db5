"""The results of arXiv:2007.07869, one readable file each, by the public interface."""
