"""The publications behind the methods, as BibTeX."""

from __future__ import annotations

FDS = """\
@inproceedings{micaelli2021gradient,
  author    = {Micaelli, Paul and Storkey, Amos},
  title     = {Gradient-based Hyperparameter Optimization Over Long Horizons},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {34},
  year      = {2021},
  eprint    = {2007.07869},
  archivePrefix = {arXiv}
}"""
FORWARD_REVERSE = """\
@inproceedings{franceschi2017forward,
  author    = {Franceschi, Luca and Donini, Michele and Frasconi, Paolo and Pontil, Massimiliano},
  title     = {Forward and Reverse Gradient-Based Hyperparameter Optimization},
  booktitle = {Proceedings of the 34th International Conference on Machine Learning},
  year      = {2017},
  eprint    = {1703.01785},
  archivePrefix = {arXiv}
}"""
REVERSIBLE = """\
@inproceedings{maclaurin2015gradient,
  author    = {Maclaurin, Dougal and Duvenaud, David and Adams, Ryan P.},
  title     = {Gradient-based Hyperparameter Optimization through Reversible Learning},
  booktitle = {Proceedings of the 32nd International Conference on Machine Learning},
  year      = {2015},
  eprint    = {1502.03492},
  archivePrefix = {arXiv}
}"""
REPLAY = """\
@misc{engstrom2025optimizing,
  author    = {Engstrom, Logan and Ilyas, Andrew and Chen, Benjamin and Feldmann, Axel
               and Moses, William and Madry, Aleksander},
  title     = {Optimizing {ML} Training with Metagradient Descent},
  year      = {2025},
  eprint    = {2503.13751},
  archivePrefix = {arXiv}
}"""
EVOGRAD = """\
@inproceedings{bohdal2021evograd,
  author    = {Bohdal, Ondrej and Yang, Yongxin and Hospedales, Timothy},
  title     = {{EvoGrad}: Efficient Gradient-Based Meta-Learning and Hyperparameter Optimization},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {34},
  year      = {2021},
  eprint    = {2106.10575},
  archivePrefix = {arXiv}
}"""
IMPLICIT = """\
@inproceedings{lorraine2020optimizing,
  author    = {Lorraine, Jonathan and Vicol, Paul and Duvenaud, David},
  title     = {Optimizing Millions of Hyperparameters by Implicit Differentiation},
  booktitle = {Proceedings of the 23rd International Conference on Artificial Intelligence and Statistics},
  year      = {2020},
  eprint    = {1911.02590},
  archivePrefix = {arXiv}
}"""
CONJUGATE_GRADIENTS = """\
@inproceedings{pedregosa2016hyperparameter,
  author    = {Pedregosa, Fabian},
  title     = {Hyperparameter Optimization with Approximate Gradient},
  booktitle = {Proceedings of the 33rd International Conference on Machine Learning},
  year      = {2016},
  eprint    = {1602.02355},
  archivePrefix = {arXiv}
}"""
NYSTROM = """\
@inproceedings{hataya2023nystrom,
  author    = {Hataya, Ryuichiro and Yamada, Makoto},
  title     = {{Nystr{\\"o}m} Method for Accurate and Scalable Implicit Differentiation},
  booktitle = {Proceedings of the 26th International Conference on Artificial Intelligence and Statistics},
  year      = {2023},
  eprint    = {2302.09726},
  archivePrefix = {arXiv}
}"""
DARTS = """\
@inproceedings{liu2019darts,
  author    = {Liu, Hanxiao and Simonyan, Karen and Yang, Yiming},
  title     = {{DARTS}: Differentiable Architecture Search},
  booktitle = {International Conference on Learning Representations},
  year      = {2019},
  eprint    = {1806.09055},
  archivePrefix = {arXiv}
}"""
HYPERGRADIENT_DESCENT = """\
@inproceedings{baydin2018online,
  author    = {Baydin, At{\\i}l{\\i}m G{\\"u}ne{\\c{s}} and Cornish, Robert
               and Mart{\\'i}nez Rubio, David and Schmidt, Mark and Wood, Frank},
  title     = {Online Learning Rate Adaptation with Hypergradient Descent},
  booktitle = {International Conference on Learning Representations},
  year      = {2018},
  eprint    = {1703.04782},
  archivePrefix = {arXiv}
}"""
MARTHE = """\
@misc{donini2019marthe,
  author    = {Donini, Michele and Franceschi, Luca and Pontil, Massimiliano
               and Majumder, Orchid and Frasconi, Paolo},
  title     = {{MARTHE}: Scheduling the Learning Rate Via Online Hypergradients},
  year      = {2019},
  eprint    = {1910.08525},
  archivePrefix = {arXiv}
}"""
FORWARD_GRADIENT = """\
@misc{baydin2022gradients,
  author    = {Baydin, At{\\i}l{\\i}m G{\\"u}ne{\\c{s}} and Pearlmutter, Barak A. and Syme, Don
               and Wood, Frank and Torr, Philip},
  title     = {Gradients without Backpropagation},
  year      = {2022},
  eprint    = {2202.08587},
  archivePrefix = {arXiv}
}"""
FG2U = """\
@inproceedings{shen2024memory,
  author    = {Shen, Qianli and Wang, Yezhen and Yang, Zhouhao and Li, Xiang and Wang, Haonan
               and Zhang, Yang and Scarlett, Jonathan and Zhu, Zhanxing and Kawaguchi, Kenji},
  title     = {Memory-Efficient Gradient Unrolling for Large-Scale Bi-level Optimization},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {37},
  year      = {2024},
  eprint    = {2406.14095},
  archivePrefix = {arXiv}
}"""
DIFFERENCES = """\
@article{fornberg1988generation,
  author    = {Fornberg, Bengt},
  title     = {Generation of Finite Difference Formulas on Arbitrarily Spaced Grids},
  journal   = {Mathematics of Computation},
  volume    = {51},
  number    = {184},
  pages     = {699--706},
  year      = {1988}
}"""
SGD = """\
@article{robbins1951stochastic,
  author    = {Robbins, Herbert and Monro, Sutton},
  title     = {A Stochastic Approximation Method},
  journal   = {The Annals of Mathematical Statistics},
  volume    = {22},
  number    = {3},
  pages     = {400--407},
  year      = {1951}
}"""
MOMENTUM = """\
@article{polyak1964some,
  author    = {Polyak, Boris T.},
  title     = {Some Methods of Speeding up the Convergence of Iteration Methods},
  journal   = {USSR Computational Mathematics and Mathematical Physics},
  volume    = {4},
  number    = {5},
  pages     = {1--17},
  year      = {1964}
}"""
NESTEROV = """\
@inproceedings{sutskever2013importance,
  author    = {Sutskever, Ilya and Martens, James and Dahl, George and Hinton, Geoffrey},
  title     = {On the Importance of Initialization and Momentum in Deep Learning},
  booktitle = {Proceedings of the 30th International Conference on Machine Learning},
  year      = {2013}
}"""
CLIPPING = """\
@inproceedings{pascanu2013difficulty,
  author    = {Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
  title     = {On the Difficulty of Training Recurrent Neural Networks},
  booktitle = {Proceedings of the 30th International Conference on Machine Learning},
  year      = {2013},
  eprint    = {1211.5063},
  archivePrefix = {arXiv}
}"""
ADAM = """\
@inproceedings{kingma2015adam,
  author    = {Kingma, Diederik P. and Ba, Jimmy},
  title     = {{Adam}: A Method for Stochastic Optimization},
  booktitle = {International Conference on Learning Representations},
  year      = {2015},
  eprint    = {1412.6980},
  archivePrefix = {arXiv}
}"""
ADAMW = """\
@inproceedings{loshchilov2019decoupled,
  author    = {Loshchilov, Ilya and Hutter, Frank},
  title     = {Decoupled Weight Decay Regularization},
  booktitle = {International Conference on Learning Representations},
  year      = {2019},
  eprint    = {1711.05101},
  archivePrefix = {arXiv}
}"""
RMSPROP = """\
@misc{tieleman2012lecture,
  author    = {Tieleman, Tijmen and Hinton, Geoffrey},
  title     = {Lecture 6.5, {RMSProp}: Divide the Gradient by a Running Average of its Recent Magnitude},
  howpublished = {COURSERA: Neural Networks for Machine Learning},
  year      = {2012}
}"""
ADAGRAD = """\
@article{duchi2011adaptive,
  author    = {Duchi, John and Hazan, Elad and Singer, Yoram},
  title     = {Adaptive Subgradient Methods for Online Learning and Stochastic Optimization},
  journal   = {Journal of Machine Learning Research},
  volume    = {12},
  pages     = {2121--2159},
  year      = {2011}
}"""
LION = """\
@inproceedings{chen2023symbolic,
  author    = {Chen, Xiangning and Liang, Chen and Huang, Da and Real, Esteban and Wang, Kaiyuan
               and Liu, Yao and Pham, Hieu and Dong, Xuanyi and Luong, Thang and Hsieh, Cho-Jui
               and Lu, Yifeng and Le, Quoc V.},
  title     = {Symbolic Discovery of Optimization Algorithms},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36},
  year      = {2023},
  eprint    = {2302.06675},
  archivePrefix = {arXiv}
}"""
MUON = """\
@misc{jordan2024muon,
  author    = {Jordan, Keller and Jin, Yuchen and Boza, Vlado and You, Jiacheng and Cesista, Franz
               and Newhouse, Laker and Bernstein, Jeremy},
  title     = {{Muon}: An Optimizer for Hidden Layers in Neural Networks},
  year      = {2024},
  url       = {https://kellerjordan.github.io/posts/muon/}
}"""
