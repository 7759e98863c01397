"""The mathematics in plain NumPy: slow, short, and independent of the kernels.

One state at a time, in the notation of the papers: x a row, v a state, mu the memories
(K, D), log_w their log weights, beta the inverse temperature, or one for each memory,
lam the step. Where betas differ, log_w includes the log normalisers of all features.
"""

import numpy as np
from scipy.special import logsumexp, softmax
from scipy.stats import norm


def logits(v, mu, log_w, beta, seen=None):
    """log w_k - beta |v - mu_k|^2, over the coordinates that are seen."""
    seen = np.ones(len(v)) if seen is None else seen
    return log_w - beta * (seen * (v - mu) ** 2).sum(axis=1)


def energy(v, mu, log_w, beta):
    """E(v) = -(1 / beta) logsumexp_k of the logits, with the first beta."""
    return -logsumexp(logits(v, mu, log_w, beta)) / np.ravel(beta)[0]


def pulled(v, mu, log_w, beta, lam):
    """v plus lam times the sum of posterior times share of the largest beta."""
    shares = softmax(logits(v, mu, log_w, beta)) * beta / np.max(beta)
    return v + lam * (shares @ (mu - v))


def trajectory(x, mu, log_w, beta, lam, n_steps, hidden=None):
    """States v(0) = x, ..., v(T); with hidden coordinates from a fill-free start."""
    states = [np.array(x, dtype=float)]
    for t in range(n_steps):
        v = states[-1]
        if hidden is None:
            states.append(pulled(v, mu, log_w, beta, lam))
        elif t == 0:
            u = softmax(logits(v, mu, log_w, beta, seen=~hidden)) @ mu
            states.append(np.where(hidden, u, v))
        else:
            states.append(np.where(hidden, pulled(v, mu, log_w, beta, lam), v))
    return np.array(states)


def loss(X, weights, mu, log_w, beta, lam, n_steps, hidden=None):
    """Sum of weight * |m * (x - v(T))|^2."""
    total = 0.0
    for x, weight in zip(X, weights, strict=True):
        error = x - trajectory(x, mu, log_w, beta, lam, n_steps, hidden)[-1]
        total += weight * ((error if hidden is None else error[hidden]) ** 2).sum()
    return total


def gradient(X, weights, mu, log_w, beta, lam, n_steps, hidden=None, growth=np.inf):
    """Gradient of the loss with respect to mu and log_w, by the adjoint.

    Where the adjoint g is longer than `growth` times the last one, the posteriors are
    as deaf as to one of this length.
    """
    d_mu, d_log_w = np.zeros_like(mu), np.zeros_like(log_w)
    m = np.ones(X.shape[1]) if hidden is None else hidden.astype(float)
    for x, weight in zip(X, weights, strict=True):
        states = trajectory(x, mu, log_w, beta, lam, n_steps, hidden)
        g = 2 * weight * m * (states[-1] - x)
        longest = growth * max(np.linalg.norm(g), np.finfo(float).tiny)
        for t in range(n_steps - 1, -1, -1):
            start = hidden is not None and t == 0
            seen = 1 - m if start else np.ones(len(x))
            v = states[t]
            sigma = softmax(logits(v, mu, log_w, beta, seen))
            u = sigma @ mu
            h = (1.0 if start else lam) * m * g
            r = 2 * beta * sigma * ((mu - u) @ h)
            length = np.linalg.norm(m * g)
            r *= longest / length if length > longest else 1.0
            d_mu += np.outer(sigma, h) + r[:, None] * seen * (v - mu)
            d_log_w += r / (2 * beta)
            g = g - h + r @ mu
    return d_mu, d_log_w


def log_predictive(x, rows, beta, rho):
    """log p(x | rows of the same memory), with base measure N(0, I / (2 rho))."""
    precision = rho + len(rows) * beta
    mean = beta * np.sum(rows, axis=0) / precision
    variance = 0.5 / precision + 0.5 / beta
    return norm.logpdf(x, mean, np.sqrt(variance)).sum()


def log_joint(X, labels, alpha, d, beta, rho):
    """log p(X, labels): the product of sequential predictives, in the given order."""
    total = 0.0
    for i, (x, label) in enumerate(zip(X, labels, strict=True)):
        mates = X[:i][labels[:i] == label]
        n_tables = len(np.unique(labels[:i]))
        weight = len(mates) - d if len(mates) else alpha + d * n_tables
        total += log_predictive(x, mates.reshape(-1, X.shape[1]), beta, rho)
        total += np.log(weight / (alpha + i)) if i else 0.0
    return total


class EStepWithHoles:
    """The E-step of a mixture with covariance inv(A) / (2 beta), row by row.

    Hidden coordinates are integrated out by the textbook formulas of the multivariate
    normal; with degrees of freedom nu, of the multivariate t.
    """

    def __init__(self, X, weights, mu, log_w, beta, A, nu=None):
        n_rows, n_clusters = len(X), len(mu)
        beta = np.broadcast_to(beta, n_clusters)
        sigma = np.linalg.inv(A) / 2
        log_w = log_w - X.shape[1] / 2 * np.log(beta / beta[0])
        self.logits = np.empty((n_rows, n_clusters))
        self.u = np.empty((n_rows, n_clusters))
        self.log_determinants = np.empty(n_rows)
        self.completed = np.empty_like(X)
        self.counts, self.sums = np.zeros(n_clusters), np.zeros_like(mu)
        self.moment, self.evidence, self.squares = np.zeros_like(A), 0.0, 0.0
        for i, (x, weight) in enumerate(zip(X, weights, strict=True)):
            seen, hidden = ~np.isnan(x), np.isnan(x)
            s_seen = sigma[np.ix_(seen, seen)]
            regression = sigma[np.ix_(hidden, seen)] @ np.linalg.inv(s_seen)
            squares = np.empty(n_clusters)
            filled = np.tile(x, (n_clusters, 1))
            for k in range(n_clusters):
                away = x[seen] - mu[k, seen]
                squares[k] = away @ np.linalg.solve(s_seen, away) / 2
                filled[k, hidden] = mu[k, hidden] + regression @ away
            pulls = np.ones(n_clusters)
            scaled_w = log_w + seen.sum() / 2 * np.log(beta / beta[0])
            self.logits[i] = scaled_w - beta * squares
            if nu is not None:
                half = (nu + seen.sum()) / 2
                self.logits[i] = scaled_w - half * np.log1p(2 * beta * squares / nu)
                pulls = 2 * half / (nu + 2 * beta * squares)
            p = softmax(self.logits[i])
            self.u[i] = weight * p * pulls
            self.evidence += weight * logsumexp(self.logits[i])
            self.counts += weight * p
            self.squares += self.u[i] @ squares
            self.sums += self.u[i][:, None] * filled
            self.completed[i] = p @ filled
            self.log_determinants[i] = np.linalg.slogdet(A[np.ix_(hidden, hidden)])[1]
            self.moment += (self.u[i] * filled.T) @ filled
            left = sigma[np.ix_(hidden, hidden)]
            left = left - regression @ sigma[np.ix_(seen, hidden)]
            self.moment[np.ix_(hidden, hidden)] += weight * (p @ (1 / beta)) * left
