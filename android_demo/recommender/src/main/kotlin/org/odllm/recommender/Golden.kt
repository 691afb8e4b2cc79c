package org.odllm.recommender

/** A golden question, the history that it asks about, and the list that must come back. */
internal class GoldenCase(val history: List<String>, val question: Question, val expected: Ranked)

/** What is read of `golden.json`. */
internal class Golden private constructor(
    val scoreTolerance: Double,
    val minOverlap: Double,
    val computedBy: String,
    val cases: List<GoldenCase>,
) {
    companion object {
        /**
         * Throws [InvalidRequestException] where a bundle has none, and [BundleDamagedException] where they do not fit
         * it.
         */
        fun read(content: BundleContent): Golden {
            val manifest = content.manifest
            if (BundleFile.GOLDEN !in manifest.files) {
                throw InvalidRequestException("${manifest.folder} has no ${BundleFile.GOLDEN} to test itself with")
            }
            BundleChecks.checkFiles(manifest, listOf(BundleFile.GOLDEN))
            val file = manifest.file(BundleFile.GOLDEN)
            try {
                return golden(content, Json.read(file))
            } catch (error: JsonException) {
                throw BundleDamagedException(manifest.folder, file, "$file is damaged: ${error.message}. $AGAIN", error)
            } catch (error: InvalidRequestException) {
                val what = "$file does not fit the bundle: ${error.message} $AGAIN"
                throw BundleDamagedException(manifest.folder, file, what, error)
            }
        }

        private fun golden(content: BundleContent, json: JsonValue): Golden {
            val cases = json["cases"].list.map { case(content, it) }
            if (cases.isEmpty()) throw JsonException("it has no cases")
            return Golden(json["score_tolerance"].double, json["min_overlap"].double, json["computed_by"].text, cases)
        }

        private fun case(content: BundleContent, json: JsonValue): GoldenCase {
            val beams = content.manifest.search.numBeams
            val history = json["history"].texts
            val question = Question(content, history, beams, json["blocked"].texts)
            val items = content.catalog.rows(json["items"].texts)
            val scores = json["scores"].list.map { it.double.toFloat() }.toFloatArray()
            if (items.size != scores.size) throw JsonException("a case has ${items.size} items, ${scores.size} scores")
            return GoldenCase(history, question, Ranked(items, scores, 0))
        }
    }
}
