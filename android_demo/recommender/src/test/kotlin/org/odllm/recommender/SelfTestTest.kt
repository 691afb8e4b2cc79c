package org.odllm.recommender

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class SelfTestTest {
    @get:Rule
    val temporary = TemporaryFolder()

    @Test
    fun everyBundleGivesItsGoldenLists() {
        for (name in listOf("loop", "unrolled", "vocab", "int8", "one-item", "grown", "shrunk", "blocked", "other")) {
            TestBundles.open(name).use { recommender ->
                val told = ArrayList<String>()
                val report = recommender.selfTest(Cancellation.NEVER) { done, total -> told += "$done/$total" }
                assertTrue("$name: $report", report.passed)
                assertEquals((1..report.cases).map { "$it/${report.cases}" }, told)
                assertEquals(if (name == "int8") 0.6 else 1.0, report.minOverlap, 0.0)
                if (name != "int8") assertNull(report.firstDifference)
            }
        }
    }

    @Test
    fun anotherModelsListsAreFound() {
        val bundle = withGolden(File(TestBundles.folder("other"), "golden.json").readText())
        Recommender.open(bundle).use { recommender ->
            val report = recommender.selfTest()
            assertFalse(report.passed)
            assertTrue(report.firstDifference!!, report.firstDifference!!.startsWith("case 1: "))
            assertTrue(report.toString(), report.toString().startsWith("failed: "))
        }
    }

    @Test
    fun damagedQuestionsAreRefused() {
        val golden = File(TestBundles.folder("loop"), "golden.json").readText()
        val others = listOf(golden.replace("i1\"", "zzz\""), golden.replace("blocked", "bloked"))
        for (damaged in others + listOf("{}", "{\"cases\": []}")) {
            Recommender.open(withGolden(damaged)).use { recommender ->
                val error = assertThrows(BundleDamagedException::class.java) { recommender.selfTest() }
                assertEquals("golden.json", error.file.name)
            }
        }
    }

    @Test
    fun aBundleWithoutQuestionsSaysSo() {
        val bundle = TestBundles.copy("loop", temporary.root)
        Manifests.edit(bundle) { Manifests.without(it, "files", "golden.json") }
        Recommender.open(bundle).use { recommender ->
            assertFalse(recommender.info.hasSelfTest)
            assertThrows(InvalidRequestException::class.java) { recommender.selfTest() }
            assertThrows(InvalidRequestException::class.java) { recommender.exampleHistory() }
        }
    }

    @Test
    fun theFirstQuestionIsAnExample() = TestBundles.open("loop").use { recommender ->
        val golden = Json.read(File(TestBundles.folder("loop"), "golden.json"))
        assertEquals(golden["cases"].list.first()["history"].texts, recommender.exampleHistory())
        assertTrue(recommender.recommend(recommender.exampleHistory()).items.isNotEmpty())
    }

    @Test
    fun aBundleTellsOfItselfUnopened() {
        assertEquals("int8-dynamic", BundleInfo.read(TestBundles.folder("int8")).precision)
        assertThrows(BundleNotFoundException::class.java) { BundleInfo.read(temporary.root) }
    }

    @Test
    fun itCanBeCancelledBetweenQuestions() = TestBundles.open("loop").use { recommender ->
        val cancellation = Cancellation()
        assertThrows(RequestCancelledException::class.java) {
            recommender.selfTest(cancellation) { done, _ -> if (done == 2) cancellation.cancel() }
        }
        Unit
    }

    @Test
    fun theListenerMayCloseTheRecommender() {
        val recommender = TestBundles.open("loop")
        assertThrows(RecommenderClosedException::class.java) {
            recommender.selfTest(Cancellation.NEVER) { _, _ -> recommender.close() }
        }
    }

    private fun withGolden(text: String): File {
        val bundle = TestBundles.copy("loop", temporary.newFolder())
        File(bundle, "golden.json").writeText(text)
        Manifests.describe(bundle, "golden.json")
        return bundle
    }
}
