"""How a topic model is trained where nothing is said: on the command line and by `TopicModel`."""

LEARNING_RATE, MOMENTUM = 8e-3, 0.99  # the slow first moment of Srivastava and Sutton's Adam
BATCH_SIZE = 200
SHOWN, PASSES = 90_000, (5, 150)  # documents in all passes; passes, at least and at most
FEWEST_STEPS = 300  # though more passes
# Rounds of the last phase, where documents have so many tokens for each word of the vocabulary, and
# all of them so many, that come alone or in one burst, for each word of each topic.
ROUNDS, DENSE, ENOUGH = 4, 0.1, 8
AVERAGED, FEWEST_UPDATES = 10, 100  # passes over which parameters are averaged; at least updates


def batch_of(documents: int, most: int = BATCH_SIZE) -> int:
    """Batches of about so many, all alike: batch norm of a handful says nothing.

    Args:
      documents: how many are trained on.
      most: about how many a batch.

    Returns:
      The size.

    Example:
      >>> batch_of(3000), batch_of(450), batch_of(30)
      (200, 225, 30)
    """
    return -(-documents // max(1, round(documents / most)))


def passes_of(documents: int) -> int:
    """How often the documents are seen.

    Args:
      documents: how many there are.

    Returns:
      The number of passes.

    Example:
      >>> passes_of(4_000), passes_of(1_000_000), passes_of(30)
      (23, 5, 300)
    """
    least, most = PASSES
    steps = max(1, round(documents / BATCH_SIZE))
    return max(least, min(most, -(-SHOWN // documents)), -(-FEWEST_STEPS // steps))


def updates_of(steps: int) -> int:
    """Over how many updates the parameters are averaged: better topics than those of the last.

    Args:
      steps: of a pass.

    Returns:
      The number.

    Example:
      >>> updates_of(17), updates_of(3)
      (170, 100)
    """
    return max(AVERAGED * steps, FEWEST_UPDATES)


def rounds_of(
    documents: int, words: int, topics: int, *, tokens: float, dispersion: float = 1.0
) -> int:
    """In how many rounds the decoder learns from posteriors that are the documents' own.

    It pays where documents are long: there an encoder's are far too wide. Of a few short ones the
    decoder would learn the noise, and of many short ones the search would take longer than all the
    rest.

    Args:
      documents: how many are trained on.
      words: of the vocabulary.
      topics: how many.
      tokens: of all documents.
      dispersion: how many tokens say as much as one that comes alone.

    Returns:
      The number of rounds, 0 for none.

    Example:
      >>> rounds_of(3000, 6000, 20, tokens=3e5), rounds_of(700, 800, 10, tokens=5e5)  # texts, cells
      (0, 4)
    """
    long = tokens >= DENSE * documents * words
    return ROUNDS if long and tokens >= ENOUGH * dispersion * topics * words else 0
