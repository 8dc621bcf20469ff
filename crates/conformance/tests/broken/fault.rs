//! The faults, and the clause that each breaks.

use durable_session_conformance::Clause;

macro_rules! faults {
    ($($clause:ident { $($fault:ident)* })*) => {
        /// What is wrong with a store. Without a fault it is a correct one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($($fault,)*)*
        }

        /// Every fault, with the clause it breaks.
        pub(crate) const FAULTS: &[(Fault, Clause)] = &[$($((Fault::$fault, Clause::$clause),)*)*];
    };
}

faults! {
    S1 {
        LosesTheLastRow
        LosesReplacements
        LosesAppStateBesideAppends
        ResetsAppStateWithEveryCommit
        AppliesSettingsFirst
        SeesOnlyWhatWasThereBefore
        KeepsWhatWasBeforeARefusal
        LeavesAnEmptySessionOnRefusal
        ReplacesWhatIsNotThere
        ReportsAnOldHead
        KeepsTextOnly
        CutsBodiesAtNul
        LosesEmptyBodies
        TakesAbsenceForEmptiness
        ActsBeforeThePoll
        LosesWhatWasDropped
        HalvesWhatWasDropped
        AcknowledgesBeforeItIsDurable
        SyncsHalfACommit
        ForgetsAppStateOnReopen
        LosesEmptySessionsOnReopen
        ListsNothingAfterReopen
    }
    S2 {
        ReordersACommit
        ReusesSeqs
        BeginsSeqsAt0
        LeavesGapsBetweenSeqs
        AppendsWhatIsReplaced
        RemovesAllButTheLast
        RemovesOnlyWhatIsWholeThere
        KeepsTheTotalsOfWhatIsRemoved
        MovesTimesBackwards
        ForgetsTheTimeOfCommits
        MovesTheTimeOfCreation
        ReadsLagBehind
        TearsPages
        ForgetsNextSeqOnReopen
        ForgetsNextSeqInACrash
        ReadsForwardOnly
        ExcludesTheEndOfARange
        RefusesAnEmptyCreation
    }
    S3 {
        IgnoresTheVersion
        ComparesCountersOnly
        CreatesOverWhatExists
        CommitsOnNothing
        LosesUpdates
        ReportsConflictsAsSuccess
        AppliesWhatConflicts
        TouchesOnConflict
        ForgetsTheCurrentVersion
        ReusesVersionsOfEarlierLives
        ReusesVersionsAfterReopen
        DrawsNewVersionsOnReopen
        KeepsTheVersionOfReplacements
        KeepsTheVersionOfAppState
        KeepsTheVersionOfEmptyCommits
        NeverMovesTheBase
        MovesTheBaseWithAppends
        ForgetsTheBaseOnReopen
    }
    S4 {
        SkipsDamagedRows
        GuessesDamagedRows
        HidesWhereTheDamageIs
        HidesWhoseTheDamageIs
        NamesTheLastDamage
        ChecksMoreThanItReturns
        TrustsTheLastRow
        TakesADamagedHeadForAbsence
        ReadsUnderADamagedHead
        DeletesUnderADamagedHead
        StopsSalvageAtDamage
        ForgetsTheLastDamageInSalvage
        DoesNotCountDamageInSalvage
        NeedsAHeadToSalvage
        ForgetsTheAppStateInSalvage
        DecodesWhatItRemoves
        HidesDamagedSessionsFromListings
        FailsListingsOnDamage
    }
    S5 {
        ForgetsTouches
        LowersTimesByTouch
        MakesVersionsByTouch
        CreatesByTouch
        ForgetsTouchesOnReopen
    }
    S6 {
        KeepsRowsAfterDelete
        KeepsAppStateAfterDelete
        SalvagesWhatWasDeleted
        ForbidsDeletedIds
        FailsToDeleteNothing
        IgnoresTheVersionOfDeletes
        IgnoresTheTimeOfDeletes
        TakesJustUsedForUsed
        IgnoresTouchesInDeletes
        DeletesInSpiteOfConflict
        DecodesWhatItDeletes
        ForgetsDeletesOnReopen
        ForgetsDeletesInACrash
        IgnoresTheTimeOfListings
    }
    S7 {
        TruncatesWhatIsTooLarge
        RefusesTheLargest
        WritesBeforeItRefuses
        IgnoresTheLimitOfAppState
        IgnoresTheLimitOfCommitBytes
        IgnoresTheLimitOfOperations
        TakesTooLargeForUnavailable
        LowersItsLimits
    }
    S8 {
        IgnoresTheBoundOfMessages
        IgnoresTheBoundOfBytes
        YieldsNothingForZero
        YieldsNothingWhenTheFirstIsTooLarge
        NeverHasMore
        GuessesMoreFromTheRange
        CountsSeqsForMessages
        IgnoresTheBytesOfTheTail
        SkipsLargeMessagesOfTheTail
        LoadsTheStart
    }
    S9 {
        FoldsTheCaseOfIds
        CutsLongIds
        CutsIdsAtADot
        DeletesByPrefix
        TouchesByPrefix
        SharesOneSeqCounter
        FailsTheNextAfterARefusal
        FailsTheNextAfterTooLarge
        SpreadsDamage
        SkipsOneBetweenPagesOfAListing
        RepeatsOneBetweenPagesOfAListing
        EndsListingsEarly
        OverfillsListings
        ReversesListings
        ListsOldHeads
        ListsWhatWasDeleted
        IgnoresThePrefix
        TakesAPrefixForAPattern
        LosesAListingWhoseCursorIsGone
    }
}
