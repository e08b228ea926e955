"""Topic models: topics of texts, programmes of cells; how good they are, and how stable."""

from jaxvae.apps.topics.coherence import c_v, npmi
from jaxvae.apps.topics.demonstration import Planted, bars, planted
from jaxvae.apps.topics.evaluation import (
    Agreement,
    Completion,
    agreement,
    document_completion,
    perplexity,
    topics_in_use,
)
from jaxvae.apps.topics.matching import (
    consensus,
    diversity,
    match,
    redundancy,
    stability,
    top_words,
)
from jaxvae.apps.topics.tables import Topic, TopicTable
from jaxvae.apps.topics.topic_model import TopicModel

__all__ = [
    "Agreement",
    "Completion",
    "Planted",
    "Topic",
    "TopicModel",
    "TopicTable",
    "agreement",
    "bars",
    "c_v",
    "consensus",
    "diversity",
    "document_completion",
    "match",
    "npmi",
    "perplexity",
    "planted",
    "redundancy",
    "stability",
    "top_words",
    "topics_in_use",
]
