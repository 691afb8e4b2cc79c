package org.odllm.demo.bundles

import org.odllm.demo.recommend.ProblemKind

/**
 * What the user chose cannot be taken in.
 *
 * @property kind what it asks of the user.
 */
class ImportException(val kind: ProblemKind, message: String) : RuntimeException(message)
