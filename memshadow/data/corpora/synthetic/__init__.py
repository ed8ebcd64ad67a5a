"""Made lives: two friends texting over years, with questions and gold evidence, in any size, from one seed."""

from memshadow.data.corpora.synthetic.corpus import SyntheticCorpus

__all__ = ["SyntheticCorpus"]
