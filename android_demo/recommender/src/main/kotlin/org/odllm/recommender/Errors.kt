package org.odllm.recommender

import java.io.File

/**
 * Root of everything that this library throws by intent. All are unchecked.
 *
 * ```
 * RecommenderException
 * ├── BundleException               the bundle must be replaced
 * │   ├── BundleNotFoundException   no folder, or no manifest in it
 * │   ├── BundleDamagedException    a file is missing, cut short, altered, or contradicts another
 * │   ├── BundleTooNewException     made for a newer version of this library or of ONNX Runtime
 * │   └── CatalogMismatchException  an update that was made for another model
 * ├── NotEnoughMemoryException      the device has less memory free than the bundle needs
 * ├── ProviderUnavailableException  an execution provider that was required is not here
 * ├── InvalidRequestException       the question must change
 * │   ├── EmptyHistoryException
 * │   └── UnknownItemsException
 * ├── RequestCancelledException     the caller's own wish
 * ├── RecommenderClosedException    a call after `close`, or one that `close` ended
 * └── InferenceException            the runtime failed, or computed scores that are no numbers
 * ```
 *
 * A message says what was found, what was expected, and what to do. Whatever else is thrown is a defect of this
 * library.
 */
public open class RecommenderException @JvmOverloads constructor(message: String, cause: Throwable? = null) :
    RuntimeException(message, cause)

/**
 * A bundle cannot be used as it is: install it anew, or another one.
 *
 * @property bundle the bundle's folder.
 */
public abstract class BundleException internal constructor(
    @get:JvmName("getBundle") public val bundle: File,
    message: String,
    cause: Throwable? = null,
) : RecommenderException(message, cause)

/** There is no bundle: no folder, or no `manifest.json` in it. */
public class BundleNotFoundException internal constructor(bundle: File, message: String) :
    BundleException(bundle, message)

/**
 * A file of the bundle is missing, cut short, altered, or contradicts another one.
 *
 * @property file the file that is to blame.
 */
public class BundleDamagedException internal constructor(
    bundle: File,
    public val file: File,
    message: String,
    cause: Throwable? = null,
) : BundleException(bundle, message, cause)

/** The bundle was made for a newer version of this library, or needs a newer ONNX Runtime. */
public class BundleTooNewException internal constructor(bundle: File, message: String) :
    BundleException(bundle, message)

/** A new catalogue was made for another model than that of the bundle. */
public class CatalogMismatchException internal constructor(bundle: File, message: String) :
    BundleException(bundle, message)

/**
 * The device has less memory free than the bundle needs.
 *
 * @property neededBytes what the bundle is expected to take at its peak.
 * @property availableBytes what is free.
 */
public class NotEnoughMemoryException internal constructor(
    public val neededBytes: Long,
    public val availableBytes: Long,
    message: String,
) : RecommenderException(message)

/**
 * An execution provider that was required is not in this build of ONNX Runtime, or finds no device.
 *
 * @property provider the one that was asked for.
 */
public class ProviderUnavailableException internal constructor(
    public val provider: Provider,
    message: String,
    cause: Throwable? = null,
) : RecommenderException(message, cause)

/** The question cannot be answered as it was asked. */
public open class InvalidRequestException internal constructor(message: String) : RecommenderException(message)

/** The history is empty. */
public class EmptyHistoryException internal constructor() :
    InvalidRequestException("the history is empty; a recommendation needs at least one item")

/**
 * Items that the bundle does not know.
 *
 * @property ids those items, each once, in the order in which they were given.
 */
public class UnknownItemsException internal constructor(public val ids: List<String>, message: String) :
    InvalidRequestException(message)

/** The call's [Cancellation] was cancelled, or its thread was interrupted while it waited. */
public class RequestCancelledException internal constructor(message: String) : RecommenderException(message)

/** The recommender or the session was closed. */
public class RecommenderClosedException internal constructor(message: String) : RecommenderException(message)

/** ONNX Runtime failed, or what it computed are no numbers. */
public class InferenceException internal constructor(message: String, cause: Throwable? = null) :
    RecommenderException(message, cause)
