package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test

class ProviderTest {
    private val all = Provider.values().toSet()

    @Test
    fun theCpuIsAlwaysThere() {
        assertTrue(Provider.CPU in RecommenderRuntime.availableProviders)
        assertTrue(RuntimeVersion.parse(RecommenderRuntime.version)!! >= RuntimeVersion(1, 24))
    }

    @Test
    fun oneThatIsMissingIsReplacedByTheCpuAndSaysWhy() {
        for (provider in all - RecommenderRuntime.availableProviders) {
            TestBundles.open("loop", options(provider).build()).use { recommender ->
                val report = recommender.provider
                assertEquals(provider to Provider.CPU, report.asked to report.used)
                assertTrue(report.toString(), report.toString().startsWith("cpu instead of ${provider.optionName}: "))
                assertEquals(5, recommender.recommend(listOf("i1")).items.size)
            }
        }
    }

    @Test
    fun oneThatIsMissingAndRequiredIsAnError() {
        for (provider in all - RecommenderRuntime.availableProviders) {
            val error = assertThrows(ProviderUnavailableException::class.java) {
                TestBundles.open("loop", options(provider).requireProvider(true).build())
            }
            assertEquals(provider, error.provider)
        }
    }

    /** Where the library lacks, asking the runtime for NNAPI would end this process. */
    @Test
    fun nnapiIsAskedForOnlyWhereTheSystemHasIt() {
        assumeTrue("this is Android", System.getProperty("java.vm.name") != "Dalvik")
        assertFalse(Provider.NNAPI in RecommenderRuntime.availableProviders)
        TestBundles.open("loop", options(Provider.NNAPI).build()).use { assertEquals(Provider.CPU, it.provider.used) }
    }

    @Test
    fun xnnpackIsNotAskedForWhereItWouldFailInEveryCall() {
        TestBundles.open("steps", options(Provider.XNNPACK).build()).use { recommender ->
            assertEquals(Provider.CPU, recommender.provider.used)
            assertEquals(5, recommender.recommend(listOf("i1")).items.size)
        }
    }

    @Test
    fun xnnpackIsUsed() {
        assumeTrue("no XNNPACK in this build", Provider.XNNPACK in RecommenderRuntime.availableProviders)
        TestBundles.open("loop", options(Provider.XNNPACK).threads(2).build()).use { recommender ->
            assertNull(recommender.provider.fallbackReason)
            assertEquals("xnnpack", recommender.provider.toString())
            assertTrue(recommender.selfTest().passed)
        }
    }

    @Test
    fun namesAreThoseOfTheCommandLine() {
        assertEquals(listOf("cpu", "xnnpack", "nnapi", "webgpu", "qnn"), Provider.values().map { it.optionName })
        assertEquals(Provider.QNN, Provider.named("qnn"))
        assertThrows(InvalidRequestException::class.java) { Provider.named("gpu") }
    }

    private fun options(provider: Provider) = RecommenderOptions.builder().provider(provider)
}
