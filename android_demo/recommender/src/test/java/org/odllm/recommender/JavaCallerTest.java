package org.odllm.recommender;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.Test;

/** The library as an app in Java calls it. */
public class JavaCallerTest {
    private static File bundle() {
        return TestBundles.INSTANCE.folder("loop");
    }

    @Test
    public void everythingThatAnAppNeeds() {
        RecommenderOptions options = RecommenderOptions.builder()
                .threads(2)
                .provider(Provider.XNNPACK)
                .requireProvider(false)
                .availableMemory(() -> 1L << 30)
                .verifyFiles(true)
                .prepackWeights(null)
                .build();
        try (Recommender recommender = Recommender.open(bundle(), options)) {
            List<String> history = Arrays.asList("i1", "i2");
            List<RecommendedItem> items = recommender.recommend(history).getItems();
            assertEquals(recommender.getInfo().getTopK(), items.size());
            RecommendedItem first = items.get(0);
            assertEquals(first.getTitle(), recommender.getCatalog().item(first.getRow()).getTitle());
            assertEquals(3, recommender.recommend(history, 3).getItems().size());
            Recommendations others = recommender.recommend(history, 3, Collections.singleton("i1"), Cancellation.NEVER);
            assertEquals(3, others.getIds().size());
            assertEquals(2, recommender.getCatalog().search("item 1", 2).size());
            assertNull(recommender.getCatalog().find("none"));
            assertTrue(recommender.selfTest().getPassed());
            assertTrue(recommender.selfTest(new Cancellation(), (done, total) -> { }).getPassed());
            try (RecommenderSession session = recommender.startSession(); RecommenderSession copy = session.copy()) {
                assertEquals(items, session.recommend(history).getItems());
                assertEquals(5, copy.recommend(Arrays.asList("i1", "i2", "i3")).getItems().size());
            }
        }
    }

    @Test
    public void answersCannotBeChanged() {
        try (Recommender recommender = Recommender.open(bundle())) {
            Recommendations found = recommender.recommend(Collections.singletonList("i1"));
            assertThrows(UnsupportedOperationException.class, () -> found.getItems().clear());
            assertThrows(UnsupportedOperationException.class, () -> recommender.getCatalog().getItems().clear());
            assertThrows(
                    UnsupportedOperationException.class, () -> recommender.getInfo().getProvenance().clear());
        }
    }

    @Test
    public void aNullHoldsUpNoOtherCall() {
        try (Recommender recommender = Recommender.open(bundle())) {
            List<String> history = Collections.singletonList("i1");
            assertThrows(NullPointerException.class, () -> recommender.recommend(null));
            assertThrows(NullPointerException.class, () -> recommender.recommend(Collections.singletonList(null)));
            assertThrows(
                    NullPointerException.class,
                    () -> recommender.recommend(history, 5, Collections.singletonList(null)));
            assertEquals(5, recommender.recommend(history).getItems().size());
        }
    }

    @Test
    public void errorsAreUncheckedAndOfOneTree() {
        try (Recommender recommender = Recommender.open(bundle())) {
            UnknownItemsException unknown = assertThrows(
                    UnknownItemsException.class, () -> recommender.recommend(Collections.singletonList("x")));
            assertEquals(Collections.singletonList("x"), unknown.getIds());
            Cancellation cancellation = new Cancellation();
            cancellation.cancel();
            assertThrows(RequestCancelledException.class,
                    () -> recommender.recommend(
                            Collections.singletonList("i1"), 5, Collections.<String>emptySet(), cancellation));
        }
        BundleNotFoundException missing =
                assertThrows(BundleNotFoundException.class, () -> Recommender.open(new File("none")));
        assertEquals(new File("none"), missing.getBundle());
        assertTrue(RecommenderException.class.isAssignableFrom(InferenceException.class));
    }
}
