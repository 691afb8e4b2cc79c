package org.odllm.recommender.guide

import java.io.File
import org.odllm.recommender.BundleException
import org.odllm.recommender.Recommender

/** Takes over what the server offers, if it is for this model and whole. Returns whether it was. */
fun takeUpdate(recommender: Recommender, downloaded: File): Boolean = try {
    recommender.updateCatalog(downloaded)
    true
} catch (error: BundleException) {
    false // for another model, or damaged on the way: nothing has changed; download it again
} finally {
    downloaded.deleteRecursively()
}
