package org.odllm.recommender.guide;

import java.io.Closeable;
import java.io.File;
import java.util.List;
import org.odllm.recommender.Cancellation;
import org.odllm.recommender.Recommendations;
import org.odllm.recommender.Recommender;
import org.odllm.recommender.RecommenderSession;

/** What to watch next. Calls block: keep them off the main thread. */
public final class JavaMovies implements Closeable {
    private final Recommender recommender;
    private final RecommenderSession session;

    public JavaMovies(File bundle) {
        recommender = Recommender.open(bundle);
        session = recommender.startSession();
    }

    public Recommendations next(List<String> watched, Cancellation cancellation) {
        return session.recommend(watched, 10, watched, cancellation);
    }

    @Override
    public void close() {
        recommender.close();
    }
}
